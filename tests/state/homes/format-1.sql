PRAGMA application_id = 1464880199;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE cursors (
    source TEXT PRIMARY KEY,
    outbox TEXT    NOT NULL,
    row    INTEGER NOT NULL,
    id     TEXT    NOT NULL
) WITHOUT ROWID;
CREATE TABLE events (
    seq          INTEGER PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    at           TEXT    NOT NULL,
    stream       TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    type         TEXT    NOT NULL,
    schema       INTEGER NOT NULL,
    actor        TEXT    NOT NULL,
    request_id   TEXT    NOT NULL,
    data         TEXT,
    salt         BLOB,
    payload_hash BLOB    NOT NULL,
    prev_hash    BLOB    NOT NULL,
    hash         BLOB    NOT NULL,
    UNIQUE (stream, version)
);
INSERT INTO "events" VALUES(1,'home','2026-11-20T12:00:00.000000+00:00','home',1,'HomeCreated',1,'waypost','','{"waypost":"0.1.0"}',X'290C1666EEA0E01CF16BA36EE7AD1A52',X'A04FD2E08C432E284ED5F55EACDB09AF92F345B93E54A1C7A26FA78C5D757911',X'0000000000000000000000000000000000000000000000000000000000000000',X'FF8A794395F5BFD89E38CE3B69561703A677194E98B7C5E5C7D5D4BF84F119C6');
INSERT INTO "events" VALUES(2,'9bb56b13d59778ecdf9546a90a5ad66c','2026-11-20T12:00:01.000000+00:00','target/traefik',1,'ApplyProven',1,'waypost','r1','{"instance":"traefik","attempt":"7c2d","commit":"1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f","changes":{"traefik/http.routers/gitea":{"rule":"Host(`git.example.org`)","service":"gitea"}},"file":"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd","seconds":0.25,"evidence":"the marker is there"}',X'0A5302070F6CAEE6D92AF51DBD51D39D',X'27C45606408B5D3E24C427E10AA1435BC83338532EE870BC8347B9AC6BEFFB71',X'FF8A794395F5BFD89E38CE3B69561703A677194E98B7C5E5C7D5D4BF84F119C6',X'8FF8CA892ABF7A7DE22BA3B00092BEC90F2AA682790784248190BCC399A81491');
INSERT INTO "events" VALUES(3,'c2801a7630f035de8801df9d3d6ae6d0','2026-11-20T12:00:02.000000+00:00','main',1,'RevisionMade',1,'waypost','','{"number":1,"commit":"1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f","tree":"3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d","policy":"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc","reason":"applied and proven"}',X'2AFF29341866EE7D479F30D4FDCD4352',X'C059A713701CAD0AEC0C0291ED0F8A7024512A1A0A3E881527C297E6198CFE8F',X'8FF8CA892ABF7A7DE22BA3B00092BEC90F2AA682790784248190BCC399A81491',X'1E1660FC5535FAFF604477C6EB6719C1FBECC208CB1206A47796200D4F2C66CF');
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
WHEN NEW.data IS NOT NULL OR NEW.salt IS NOT NULL OR NEW.seq IS NOT OLD.seq OR NEW.id IS NOT OLD.id OR NEW.at IS NOT OLD.at OR NEW.stream IS NOT OLD.stream OR NEW.version IS NOT OLD.version OR NEW.type IS NOT OLD.type OR NEW.schema IS NOT OLD.schema OR NEW.actor IS NOT OLD.actor OR NEW.request_id IS NOT OLD.request_id OR NEW.payload_hash IS NOT OLD.payload_hash OR NEW.prev_hash IS NOT OLD.prev_hash OR NEW.hash IS NOT OLD.hash
BEGIN SELECT RAISE(ABORT, 'events are never changed, a payload can only be blanked'); END;
COMMIT;
