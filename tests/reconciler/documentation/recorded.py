"""Pages as site builders write them; a recorded site on loopback, for its own reach only; a clock to set ahead."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from reconciler.documentation.fetching import Reach
from reconciler.documentation.sources import Source
from reconciler.ports import SystemClock

KINDS = {".json": "application/json", ".xml": "application/xml", ".txt": "text/plain", ".md": "text/markdown"}

MKDOCS = """<html><body><header>Site</header><nav>Menu</nav><article class="md-content__inner md-typeset">
<a class="md-content__button" href="edit">Edit</a>
<h1 id="routers">Routers<a class="headerlink" href="#routers">&para;</a></h1>
<p>Connecting requests to <a href="../services/">services</a>.</p>
<h3 id="rule"><code>rule</code></h3><p>Only <em>this</em> matters:</p>
<div class="highlight"><pre><span></span><code><span>http:</span>
<span>  routers: {}</span></code></pre></div>
<table><thead><tr><th>Option</th><th>Default</th></tr></thead><tbody><tr><td>priority</td><td>0</td></tr></tbody></table>
</article></body></html>"""
DOCUSAURUS = """<html><body><nav>Menu</nav><main><article><nav class="theme-doc-breadcrumbs">a / b</nav>
<div class="theme-doc-markdown markdown"><header><h1>Stacks</h1></header>
<h2 class="anchor" id="deploy">Deploy<a href="#deploy" class="hash-link">\u200b</a></h2>
<div class="language-toml"><pre><code><span class="token-line">[[stack]]<br></span><span class="x">name = "a"<br>
</span></code></pre><button>Copy</button></div></div>
<footer class="theme-doc-footer">Last updated on <b>Nov 3, 2026</b></footer></article></main></body></html>"""
VITEPRESS = """<html><body><div class="VPSidebar">Menu</div><main><div class="vp-doc"><div>
<h1 id="what" tabindex="-1">What? <a class="header-anchor" href="#what">&ZeroWidthSpace;</a></h1><p>A viewer.</p>
<p class="tip">Note</p></div></div><footer class="VPDocFooter">Last updated: 1/2/26</footer></main></body></html>"""
MARKDOWN = b"""\
---
title: "Router rules"
---
Before all headings.

## Rule {#the-rule}

See [services](../services.md).

```sh
# no heading
```

Priority
--------
### `priority` of *one*
"""


class Clock(SystemClock):
    """The machine's clock, set ahead by a test."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead.total_seconds()


@dataclass
class Site:
    """A page is its bytes, or the path where it stands now. All may be put in, taken away, or out of reach."""

    pages: dict[str, bytes | str]
    port: int
    asked: list[tuple[str, str]] = field(default_factory=list)  # path, If-None-Match
    down: bool = False

    @property
    def home(self) -> str:
        return f"http://docs.lab:{self.port}/traefik/"

    @property
    def source(self) -> Source:
        return Source(
            system="traefik",
            bases=(self.home,),
            homes=(f"{self.home}v{{version}}/", self.home),
            indexes=("search/search_index.json",),
            releases="https://example.org/releases",
            settled=(f"{self.home}settled/",),
        )

    @property
    def reach(self) -> Reach:
        return Reach(sources=(self.source,), resolve=self._resolve, permitted=lambda _: True)

    def _resolve(self, host: str, port: int) -> list[str]:
        if self.down:
            raise OSError("the network is unreachable")
        return ["127.0.0.1"]


@contextlib.contextmanager
def recorded(pages: Mapping[str, bytes | str]) -> Iterator[Site]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("If-None-Match", "")
            site.asked.append((self.path, known))
            found = site.pages.get(self.path, b"")
            tag = f'"{sha256(found).hexdigest()[:12]}"' if isinstance(found, bytes) else ""
            self.send_response(301 if isinstance(found, str) else 404 if not found else 304 if known == tag else 200)
            self.send_header("ETag", tag)
            self.send_header(
                "Content-Type", next((KINDS[end] for end in KINDS if self.path.endswith(end)), "text/html")
            )
            if isinstance(found, str):
                self.send_header("Location", found)
            self.end_headers()
            if isinstance(found, bytes) and known != tag:
                self.wfile.write(found)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    site = Site(dict(pages), server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
