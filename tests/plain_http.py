"""HTTP to servers on loopback: there is no certificate to look at, and reading the machine's takes 50 ms a client."""

from __future__ import annotations

import functools

import httpx2

get = functools.partial(httpx2.get, verify=False, trust_env=False)
post = functools.partial(httpx2.post, verify=False, trust_env=False)
stream = functools.partial(httpx2.stream, verify=False, trust_env=False)
Client = functools.partial(httpx2.Client, verify=False, trust_env=False)
AsyncClient = functools.partial(httpx2.AsyncClient, verify=False, trust_env=False)
