"""What each MCP client wants to be told, so that it finds the gateway. Pure; follows the clients' own documentation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

NAME: Final = "waypost"
VARIABLE: Final = "WAYPOST_TOKEN"
"""The environment variable that clients read the token from, where they can."""


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """How this gateway is reached: its MCP address, and the command that starts it for one local client."""

    address: str
    command: str
    home: str


@dataclass(frozen=True, kw_only=True)
class ClientConfig:
    """What to put where. `content` is "" where the client is told in its pages; `steps` are for the person."""

    client: str
    file: str = ""
    content: str = ""
    steps: tuple[str, ...] = ()


def _claude_code(gateway: Gateway) -> ClientConfig:
    # code.claude.com/docs/en/mcp as of 2026-09: `${VAR}` is expanded in `headers`; one that is not set is sent as is.
    served = {"type": "http", "url": gateway.address, "headers": _bearer(f"${{{VARIABLE}}}")}
    return ClientConfig(
        client="claude-code",
        file=".mcp.json in your project",
        content=_json({"mcpServers": {NAME: served}}),
        steps=(
            _export("claude"),
            "Check with `claude mcp list`: where the variable is not set, Claude Code sends its name instead.",
            "or for all your projects, with the token in Claude Code's own settings: "
            f'claude mcp add --transport http --scope user --header "Authorization: Bearer ${VARIABLE}" '
            f"{NAME} {gateway.address}",
        ),
    )


def _claude_desktop(gateway: Gateway) -> ClientConfig:
    # modelcontextprotocol.io, "Connect to local MCP servers", as of 2026-10: its file knows programs only,
    # no addresses; connectors are called from Anthropic's side, never from this machine.
    started = {"command": gateway.command, "args": ["--home", gateway.home, "serve-gateway", "--stdio"]}
    return ClientConfig(
        client="claude-desktop",
        file="claude_desktop_config.json (Settings, Developer, Edit Config)",
        content=_json({"mcpServers": {NAME: started}}),
        steps=("It starts a gateway of its own on this machine, so no token is needed.", "Restart Claude Desktop."),
    )


def _cursor(gateway: Gateway) -> ClientConfig:
    # cursor.com/docs/mcp as of 2026-10: `${env:NAME}` is put in for `url` and `headers`.
    served = {"url": gateway.address, "headers": _bearer(f"${{env:{VARIABLE}}}")}
    return ClientConfig(
        client="cursor",
        file="~/.cursor/mcp.json, or .cursor/mcp.json in a project",
        content=_json({"mcpServers": {NAME: served}}),
        steps=(
            _export("cursor"),
            "Switch it on under Customize, MCPs, in the sidebar; open chats do not notice new servers.",
        ),
    )


def _vscode(gateway: Gateway) -> ClientConfig:
    # code.visualstudio.com/docs, "MCP configuration reference", as of 2026-10.
    asked = {"type": "promptString", "id": "waypost-token", "description": "Token of Waypost", "password": True}
    served = {"type": "http", "url": gateway.address, "headers": _bearer("${input:waypost-token}")}
    return ClientConfig(
        client="vscode",
        file=".vscode/mcp.json, or the user's (MCP: Open User Configuration)",
        content=_json({"inputs": [asked], "servers": {NAME: served}}),
        steps=("Make a token: waypost token create vscode", "VS Code asks for it once and keeps it safe."),
    )


def _open_webui(gateway: Gateway) -> ClientConfig:
    # docs.openwebui.com/features/mcp as of 2026-10 (version 0.12): only an administrator can, and only in its pages.
    return ClientConfig(
        client="open-webui",
        steps=(
            "Admin Settings, Integrations (External Tools in older versions), add a connection",
            "Type: MCP (Streamable HTTP). Not OpenAPI: its page would load for ever",
            f"URL: {gateway.address}   (from a container: an address of this machine that WAYPOST_PUBLIC_URL names)",
            "Auth: Bearer, with what `waypost token create open-webui` printed",
            "Open WebUI needs WEBUI_SECRET_KEY set, or it forgets the token with its next start",
        ),
    )


def _chatgpt(gateway: Gateway) -> ClientConfig:
    # developers.openai.com, "ChatGPT Developer mode", as of 2026-10: connectors are called apps by now.
    return ClientConfig(
        client="chatgpt",
        steps=(
            "Settings, Apps (Connectors in older versions), Advanced settings: developer mode, then create an app",
            f"MCP server URL: {gateway.address}   (OpenAI calls it: it has to be public, behind https)",
            "Authentication: OAuth. ChatGPT sends no token that was made here",
        ),
    )


CLIENTS: Final[Mapping[str, Callable[[Gateway], ClientConfig]]] = {
    "claude-code": _claude_code,
    "claude-desktop": _claude_desktop,
    "cursor": _cursor,
    "vscode": _vscode,
    "open-webui": _open_webui,
    "chatgpt": _chatgpt,
}
"""Client -> what it wants to be told."""


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _export(name: str) -> str:
    return f"Make a token with `waypost token create {name}` and start the client with it in {VARIABLE}."


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)
