"""Every field of Traefik's dynamic configuration and what it takes, as the decoder of Traefik 3.7 has it.

One unknown field or wrong scalar in one file makes Traefik reject its whole directory, so this is checked before
anything is written, also where no Traefik binary is at hand. The real decoder still has the last word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

KNOWN_VERSION = "3.7"


@dataclass(frozen=True)
class Scalar:
    """One value: "text", "number" (64-bit integer), "switch" (true/false) or "duration" (seconds or 1h30m)."""

    takes: str


@dataclass(frozen=True, eq=False)
class Record:
    """A struct. `may_be_empty`: Traefik accepts `{}`; anywhere else an empty struct poisons the directory."""

    fields: Mapping[str, Shape]
    may_be_empty: bool = False
    by_folded_name: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_folded_name", {name.casefold(): name for name in self.fields})


@dataclass(frozen=True)
class Many:
    """A list of records or of text."""

    item: Shape


@dataclass(frozen=True)
class Table:
    """A mapping with free keys."""

    item: Shape


@dataclass(frozen=True)
class Free:
    """Whatever a plugin wants."""


Shape = Scalar | Record | Many | Table | Free

TEXT, NUMBER, SWITCH, DURATION = Scalar("text"), Scalar("number"), Scalar("switch"), Scalar("duration")
TEXTS, TEXT_TABLE = Many(TEXT), Table(TEXT)


def _record(
    *,
    text: str = "",
    number: str = "",
    switch: str = "",
    duration: str = "",
    texts: str = "",
    tables: str = "",
    may_be_empty: bool = False,
    **nested: Shape,
) -> Record:
    """A record from field names by what they take; records within it by keyword."""
    simple: dict[Shape, str] = {
        TEXT: text,
        NUMBER: number,
        SWITCH: switch,
        DURATION: duration,
        TEXTS: texts,
        TEXT_TABLE: tables,
    }
    named: dict[str, Shape] = {name: shape for shape, names in simple.items() for name in names.split()}
    return Record({**named, **nested}, may_be_empty)


# ── shared parts ─────────────────────────────────────────────────────────────────────────────────

_DOMAIN = _record(text="main", texts="sans")
_CERTIFICATE = _record(text="certFile keyFile")
_HEALTH_AWARE = _record(may_be_empty=True)
_COOKIE = _record(text="name sameSite path domain", switch="secure httpOnly", number="maxAge", may_be_empty=True)
_WEIGHED = Many(_record(text="name", number="weight"))
_SPIFFE = _record(texts="ids", text="trustDomain", may_be_empty=True)
_PROXY_PROTOCOL = _record(number="version", may_be_empty=True)


def _sticky(may_be_empty: bool) -> Record:
    return _record(cookie=_COOKIE, may_be_empty=may_be_empty)


def _ip_strategy(may_be_empty: bool) -> Record:
    return _record(number="depth ipv6Subnet", texts="excludedIPs", may_be_empty=may_be_empty)


# ── http ─────────────────────────────────────────────────────────────────────────────────────────

_HTTP_ROUTER = _record(
    texts="entryPoints middlewares parentRefs",
    text="service rule ruleSyntax",
    number="priority",
    tls=_record(text="options certResolver", domains=Many(_DOMAIN), may_be_empty=True),
    observability=_record(switch="accessLogs metrics tracing", text="traceVerbosity"),
)

_HTTP_LOAD_BALANCER = _record(
    text="strategy serversTransport",
    switch="passHostHeader",
    sticky=_sticky(may_be_empty=True),
    servers=Many(_record(text="url", number="weight", switch="preservePath")),
    healthCheck=_record(
        text="scheme mode path method hostname",
        number="status port",
        duration="interval unhealthyInterval timeout",
        switch="followRedirects",
        tables="headers",
    ),
    passiveHealthCheck=_record(duration="failureWindow", number="maxFailedAttempts"),
    responseForwarding=_record(duration="flushInterval"),
)

_HTTP_SERVICE = _record(
    texts="middlewares",
    loadBalancer=_HTTP_LOAD_BALANCER,
    highestRandomWeight=_record(services=_WEIGHED, healthCheck=_HEALTH_AWARE),
    weighted=_record(services=_WEIGHED, sticky=_sticky(may_be_empty=False), healthCheck=_HEALTH_AWARE),
    mirroring=_record(
        text="service",
        switch="mirrorBody",
        number="maxBodySize",
        mirrors=Many(_record(text="name", number="percent")),
        healthCheck=_HEALTH_AWARE,
    ),
    failover=_record(
        text="service fallback",
        healthCheck=_HEALTH_AWARE,
        errors=_record(number="maxRequestBodyBytes", texts="status"),
    ),
)

_SOURCE = _record(text="requestHeaderName", switch="requestHost", ipStrategy=_ip_strategy(may_be_empty=False))

_REDIS = _record(
    texts="endpoints",
    text="username password",
    number="db poolSize minIdleConns maxActiveConns",
    duration="readTimeout writeTimeout dialTimeout",
    tls=_record(text="ca cert key", switch="insecureSkipVerify"),
)

_HEADERS = _record(
    tables="customRequestHeaders customResponseHeaders sslProxyHeaders",
    texts="accessControlAllowHeaders accessControlAllowMethods accessControlAllowOriginList "
    "accessControlAllowOriginListRegex accessControlExposeHeaders allowedHosts hostsProxyHeaders",
    number="accessControlMaxAge stsSeconds",
    switch="accessControlAllowCredentials addVaryHeader stsIncludeSubdomains stsPreload forceSTSHeader frameDeny "
    "contentTypeNosniff browserXssFilter isDevelopment sslRedirect sslTemporaryRedirect sslForceHost",
    text="customFrameOptionsValue customBrowserXSSValue contentSecurityPolicy contentSecurityPolicyReportOnly "
    "publicKey referrerPolicy permissionsPolicy featurePolicy sslHost",
)

_FORWARD_AUTH = _record(
    text="address authResponseHeadersRegex headerField authSigninURL",
    texts="authResponseHeaders authRequestHeaders addAuthCookiesToResponse",
    switch="trustForwardHeader forwardBody preserveLocationHeader preserveRequestMethod",
    number="maxResponseBodySize maxBodySize",
    tls=_record(text="ca cert key", switch="insecureSkipVerify caOptional"),
)

_NAME_PARTS = "country province locality organization commonName serialNumber domainComponent"
_PASS_CLIENT_CERTIFICATE = _record(
    switch="pem",
    info=_record(
        switch="notAfter notBefore sans serialNumber",
        subject=_record(switch=f"{_NAME_PARTS} organizationalUnit"),
        issuer=_record(switch=_NAME_PARTS),
    ),
)

_HTTP_MIDDLEWARE = _record(
    addPrefix=_record(text="prefix"),
    stripPrefix=_record(texts="prefixes", switch="forceSlash"),
    stripPrefixRegex=_record(texts="regex"),
    replacePath=_record(text="path"),
    replacePathRegex=_record(text="regex replacement"),
    chain=_record(texts="middlewares"),
    ipWhiteList=_record(texts="sourceRange", ipStrategy=_ip_strategy(may_be_empty=True)),
    ipAllowList=_record(texts="sourceRange", number="rejectStatusCode", ipStrategy=_ip_strategy(may_be_empty=True)),
    headers=_HEADERS,
    encodedCharacters=_record(
        switch="allowEncodedSlash allowEncodedBackSlash allowEncodedNullCharacter allowEncodedSemicolon "
        "allowEncodedPercent allowEncodedQuestionMark allowEncodedHash"
    ),
    errors=_record(texts="status errorRequestHeaders", text="service query", statusRewrites=Table(NUMBER)),
    rateLimit=_record(number="average burst", duration="period", sourceCriterion=_SOURCE, redis=_REDIS),
    redirectRegex=_record(text="regex replacement", switch="permanent"),
    redirectScheme=_record(text="scheme port", switch="permanent"),
    basicAuth=_record(texts="users", text="usersFile realm headerField", switch="removeHeader"),
    digestAuth=_record(texts="users", text="usersFile realm headerField", switch="removeHeader"),
    forwardAuth=_FORWARD_AUTH,
    inFlightReq=_record(number="amount", sourceCriterion=_SOURCE),
    buffering=_record(
        number="maxRequestBodyBytes memRequestBodyBytes maxResponseBodyBytes memResponseBodyBytes",
        text="retryExpression",
    ),
    circuitBreaker=_record(
        text="expression", duration="checkPeriod fallbackDuration recoveryDuration", number="responseCode"
    ),
    compress=_record(
        texts="excludedContentTypes includedContentTypes encodings",
        number="minResponseBodyBytes",
        text="defaultEncoding",
        may_be_empty=True,
    ),
    passTLSClientCert=_PASS_CLIENT_CERTIFICATE,
    retry=_record(
        number="attempts maxRequestBodyBytes",
        duration="timeout initialInterval",
        texts="status",
        switch="disableRetryOnNetworkError retryNonIdempotentMethod",
    ),
    contentType=_record(switch="autoDetect", may_be_empty=True),
    grpcWeb=_record(texts="allowOrigins"),
    plugin=Table(Free()),
)

_HTTP_TRANSPORT = _record(
    text="serverName minVersion maxVersion peerCertURI",
    switch="insecureSkipVerify disableHTTP2",
    number="maxIdleConnsPerHost",
    texts="rootCAs cipherSuites",
    certificates=Many(_CERTIFICATE),
    forwardingTimeouts=_record(
        duration="dialTimeout responseHeaderTimeout idleConnTimeout readIdleTimeout pingTimeout"
    ),
    spiffe=_SPIFFE,
)

# ── tcp, udp, tls ────────────────────────────────────────────────────────────────────────────────

_TCP_ROUTER = _record(
    texts="entryPoints middlewares",
    text="service rule ruleSyntax",
    number="priority",
    tls=_record(switch="passthrough", text="options certResolver", domains=Many(_DOMAIN), may_be_empty=True),
)

_TCP_SERVICE = _record(
    loadBalancer=_record(
        text="serversTransport",
        number="terminationDelay",
        servers=Many(_record(text="address", switch="tls")),
        proxyProtocol=_PROXY_PROTOCOL,
        healthCheck=_record(
            number="port",
            text="send expect",
            duration="interval unhealthyInterval timeout",
            may_be_empty=True,
        ),
    ),
    weighted=_record(services=_WEIGHED, healthCheck=_HEALTH_AWARE),
)

_TCP_MIDDLEWARE = _record(
    inFlightConn=_record(number="amount"),
    ipWhiteList=_record(texts="sourceRange"),
    ipAllowList=_record(texts="sourceRange"),
)

_TCP_TRANSPORT = _record(
    duration="dialKeepAlive dialTimeout terminationDelay",
    proxyProtocol=_PROXY_PROTOCOL,
    tls=_record(
        text="serverName peerCertURI",
        switch="insecureSkipVerify",
        texts="rootCAs",
        certificates=Many(_CERTIFICATE),
        spiffe=_SPIFFE,
        may_be_empty=True,
    ),
)

_UDP_ROUTER = _record(texts="entryPoints", text="service")

_UDP_SERVICE = _record(
    loadBalancer=_record(servers=Many(_record(text="address"))),
    weighted=_record(services=_WEIGHED),
)

_TLS_OPTIONS = _record(
    text="minVersion maxVersion",
    texts="cipherSuites curvePreferences alpnProtocols",
    switch="sniStrict disableSessionTickets preferServerCipherSuites",
    clientAuth=_record(texts="caFiles", text="clientAuthType"),
)

_TLS_STORE = _record(
    defaultCertificate=_CERTIFICATE,
    defaultGeneratedCert=_record(text="resolver", domain=_DOMAIN),
)

KINDS: Mapping[str, Record] = {
    "http.routers": _HTTP_ROUTER,
    "http.services": _HTTP_SERVICE,
    "http.middlewares": _HTTP_MIDDLEWARE,
    "http.serversTransports": _HTTP_TRANSPORT,
    "tcp.routers": _TCP_ROUTER,
    "tcp.services": _TCP_SERVICE,
    "tcp.middlewares": _TCP_MIDDLEWARE,
    "tcp.serversTransports": _TCP_TRANSPORT,
    "udp.routers": _UDP_ROUTER,
    "udp.services": _UDP_SERVICE,
    "tls.options": _TLS_OPTIONS,
    "tls.stores": _TLS_STORE,
    "tls.certificates": _record(text="certFile keyFile", texts="stores"),
}
"""Every kind of resource -> its shape. A kind is its section and list, as in a file."""
