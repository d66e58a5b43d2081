"""Which of Apprise's services a message may go by: those that speak to a service over a network, and nothing else.

Apprise also has plugins that start programs, write to this machine's own log or desktop, or drive a browser; an
address is often pasted from somewhere, so what is not named here is not used.
"""

from __future__ import annotations

from typing import Final

SCHEMES: Final = frozenset(
    {
        "apprise", "apprises", "bark", "barks", "bluesky", "bsky", "discord", "form", "forms", "gchat", "gotify",
        "gotifys", "hassio", "hassios", "https", "ifttt", "json", "jsons", "line", "mailgun", "mailto", "mailtos",
        "mastodon", "mastodons", "matrix", "matrixs", "mmost", "mmosts", "ncloud", "nclouds", "nctalk",
        "nctalks", "notifiarr", "ntfy", "ntfys", "opsgenie", "pagerduty", "pbul", "pover", "prowl", "pushdeer",
        "pushdeers", "resend", "rocket", "rockets", "sendgrid", "signal", "signals", "slack", "sns", "spush",
        "synology", "synologys", "tgram", "threema", "toot", "toots", "twilio", "vapid", "webex", "whatsapp",
        "workflow", "workflows", "wxteams", "xml", "xmls", "zulip",
    }
)  # fmt: skip
"""`https` is how services write their own addresses (https://discord.com/api/webhooks/…), which Apprise knows."""
