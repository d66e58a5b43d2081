"""Faces: what a model may see and propose. Reaches no target, no loop and no writer of the log."""

import pydantic

# The protocol has some seven hundred models and a gateway speaks with seventy: each is built when it is first used.
pydantic.BaseModel.model_config["defer_build"] = True
