"""Pairs of rules with the rare traps of Traefik in them, and whether a request can match both."""

from __future__ import annotations

FOUND, NOTHING = "found", "nothing"
CORPUS = [
    ("Host(`a.test`)", "PathPrefix(`/api`)", FOUND),
    ("Host(`a.test`)", "Host(`A.TEST`)", FOUND),
    ("Host(`a.test`)", "Host(`b.test`)", NOTHING),
    ("Host(`a.test`)", "Host(`a.test.`)", FOUND),
    ("Host(`a.test..`)", "Host(`a.test.`)", FOUND),
    ("Host(`a.test...`)", "Host(`a.test`)", NOTHING),
    ("Host(`a.test`)", "HostRegexp(`\\.$`)", FOUND),  # the dot at the end of a name
    ("Host(`a.test`)", "HostRegexp(`^[^.]+\\.test$`)", FOUND),
    ("Host(`a.test`)", "HostRegexp(`^[^a]`)", NOTHING),
    ("Host(`a.test`)", "HostRegexp(`^A`)", NOTHING),
    ("Host(`a.test`)", "HostRegexp(`^$`)", FOUND),  # what finds the empty text matches every host
    ("Host(`a.test`)", "HostRegexp(`^b*$`)", FOUND),
    ("Host(`a.test`)", "!HostRegexp(`^b*$`)", NOTHING),
    ("Host(`*.test`)", "Host(`a.test`)", FOUND),
    ("Host(`*.test`)", "Host(`a.b.test`)", NOTHING),
    ("Host(`*.test`)", "HostRegexp(`^\\.`)", FOUND),
    ("Host(`*.test`)", "HostRegexp(`\\..*\\..`)", NOTHING),
    ("Host(`*.test`)", "Host(`*.test.`)", FOUND),
    ("Host(`*test`)", "PathPrefix(`/`)", NOTHING),
    ("Host(`*`)", "!Host(`*`)", NOTHING),
    ("Host(`*`)", "Host(`a.b.c`)", FOUND),
    ("!Host(`*`)", "PathPrefix(`/`)", NOTHING),
    ("HostRegexp(`.`)", "!HostRegexp(`^.`)", NOTHING),
    ("!HostRegexp(`.`)", "PathPrefix(`/`)", FOUND),  # no host at all
    ("Host(`a.test:80`)", "PathPrefix(`/`)", FOUND),  # [a.test:80], brackets around something with a colon
    ("Host(`::1`)", "HostRegexp(`^::`)", FOUND),
    ("Host(`a b`)", "PathPrefix(`/`)", NOTHING),
    ("HostRegexp(`[[:^ascii:]]`)", "PathPrefix(`/`)", NOTHING),  # outside of the domain, as it says
    ("PathPrefix(`/a`)", "Path(`/ab`)", FOUND),
    ("PathPrefix(`/a`)", "PathPrefix(`/b`)", NOTHING),
    ("PathPrefix(`/a`)", "!PathPrefix(`/`)", NOTHING),
    ("!PathPrefix(`/`)", "Host(`a.test`)", FOUND),  # GET *
    ("!PathPrefix(`/`)", "Method(`OPTIONS`)", NOTHING),
    ("!PathPrefix(`/`)", "Query(`k`)", NOTHING),
    ("!PathPrefix(`/`)", "!Path(`*`)", NOTHING),
    ("Path(`/a//b`)", "PathPrefix(`/`)", NOTHING),
    ("Path(`/a/../b`)", "PathPrefix(`/`)", NOTHING),
    ("Path(`/.`)", "PathPrefix(`/`)", NOTHING),
    ("Path(`/...`)", "PathPrefix(`/`)", FOUND),
    ("Path(`/.a/b.`)", "PathPrefix(`/`)", FOUND),
    ("Path(`/a%20b`)", "PathPrefix(`/`)", NOTHING),
    ("Path(`/a%2Fb`)", "PathPrefix(`/`)", FOUND),
    ("Path(`/a%2fb`)", "PathPrefix(`/`)", NOTHING),
    ("Path(`/a b`)", "PathRegexp(`\\s`)", FOUND),
    ("Path(`/a?b`)", "PathPrefix(`/`)", NOTHING),
    ("Path(`/é`)", "PathRegexp(`^/.$`)", FOUND),
    ("PathRegexp(`^/[^[:ascii:]]$`)", "!PathRegexp(`^/\\pL`)", FOUND),
    ("PathRegexp(`^/\\x{fffd}$`)", "!Path(`/\ufffd`)", FOUND),  # bytes that are no text look like it
    ("PathRegexp(`^/\\p{Letter}$`)", "PathRegexp(`^/\\p{ASCII}$`)", FOUND),
    ("PathRegexp(`^/\\p{Letter}$`)", "PathRegexp(`^/[\\d_]$`)", NOTHING),
    ("PathPrefix(`/.`)", "PathRegexp(`^/\\.\\.?(/|$)`)", NOTHING),
    ("PathRegexp(`%`)", "!PathRegexp(`%[2-5][0-9A-F]`)", NOTHING),
    ("PathRegexp(`\\n`)", "PathPrefix(`/`)", FOUND),
    ("Method(`GET`)", "Method(`get`)", FOUND),  # the rule is taken in upper case
    ("Method(`GET`)", "Method(`POST`)", NOTHING),
    ("Method(`CONNECT`)", "PathPrefix(`/`)", NOTHING),
    ("Method(`G T`)", "PathPrefix(`/`)", NOTHING),
    ("!Method(`GET`)", "!Method(`POST`)", FOUND),
    ("Header(`x-a`, `1`)", "Header(`X-A`, `2`)", FOUND),  # two lines
    ("Header(`x-a`, `1`)", "!Header(`X-A`, `1`)", NOTHING),
    ("Header(`x-a`, `1`)", "!HeaderRegexp(`X-A`, `.`)", NOTHING),
    ("HeaderRegexp(`X-A`, `^a`)", "!HeaderRegexp(`X-A`, `b$`)", FOUND),
    ("Header(`X-A`, ` v`)", "PathPrefix(`/`)", NOTHING),
    ("Header(`a b`, `v`)", "PathPrefix(`/`)", NOTHING),
    ("Header(`Host`, `a.test`)", "PathPrefix(`/`)", NOTHING),
    ("Header(`Transfer-Encoding`, `chunked`)", "PathPrefix(`/`)", NOTHING),
    ("Header(`X-Forwarded-For`, `1.2.3.4`)", "PathPrefix(`/`)", NOTHING),
    ("Header(`X-Forwarded-Proto`, `https`)", "Header(`X-Forwarded-Proto`, `http`)", NOTHING),
    ("Header(`X-Forwarded-Proto`, `https`)", "PathPrefix(`/`)", FOUND),
    ("!Header(`X-Forwarded-Proto`, `https`)", "!Header(`X-Forwarded-Proto`, `http`)", FOUND),  # a web socket
    ("Header(`X-A`, `é`)", "HeaderRegexp(`X-A`, `^.$`)", FOUND),
    ("Query(`k`)", "Query(`k`, `v`)", FOUND),
    ("Query(`k`)", "!QueryRegexp(`k`, `^$`)", NOTHING),  # a key alone is an empty value
    ("Query(`k`, `v`)", "!QueryRegexp(`k`, `v`)", NOTHING),
    ("Query(`k`, `a&b=é ;%`)", "Query(`a b`, `+`)", FOUND),
    ("ClientIP(`10.0.0.0/8`)", "ClientIP(`10.1.2.3`)", FOUND),
    ("ClientIP(`10.0.0.0/8`)", "ClientIP(`11.0.0.0/8`)", NOTHING),
    ("ClientIP(`::/0`)", "ClientIP(`10.0.0.0/8`)", NOTHING),
    ("ClientIP(`::ffff:10.0.0.0/104`)", "ClientIP(`10.1.2.3`)", FOUND),
    ("!ClientIP(`0.0.0.0/0`)", "!ClientIP(`::/0`)", NOTHING),
    ("!ClientIP(`0.0.0.0/0`)", "PathPrefix(`/`)", FOUND),
    ("ClientIP(`10.0.0.0/31`)", "!ClientIP(`10.0.0.0`) && !ClientIP(`10.0.0.1`)", NOTHING),
    ("Host(`a`) || Host(`b`)", "!Host(`a`) && Path(`/x`)", FOUND),
    ("Host(`a`) && (Path(`/x`) || Path(`/y`))", "!(Path(`/x`) || Method(`GET`))", FOUND),
    ("(Host(`a`) || Path(`/x`)) && (Host(`b`) || Path(`/y`))", "Host(`a`) && Path(`/x`)", NOTHING),
]
