"""The parrot shard: says again what it is told. Put your own tools in its place; `python parrot.py` serves it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from shards.kit import Call, Refused, Shard, Traits, tool
from shards.wire import alone


class Said(BaseModel):
    """What the parrot said."""

    words: str = Field(description="the text, as often as it was asked for")


class Parrot(Shard):
    """Tools over one system. They only read: what writes is a proposal, and those are made in the gateway."""

    name = "parrot"
    title = "Parrot"
    prefix = "parrot_"

    @tool(Traits(title="Say again", seconds=10.0))
    def say_again(
        self,
        call: Call,
        text: Annotated[str, Field(min_length=1, max_length=1000, description="What to say.")],
        times: Annotated[int, Field(ge=1, le=10, description="How often.")] = 1,
    ) -> Said:
        """Say a text again, once or several times. Use it to see whether the parrot is there."""
        if text.isspace():
            raise Refused("nothing-to-say", "There are only blanks in this text; give it words.")
        return Said(words=" ".join([text] * times))


if __name__ == "__main__":
    alone.serve(Parrot())
