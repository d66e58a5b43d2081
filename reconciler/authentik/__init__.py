"""What Waypost knows of authentik: blueprints, their models, and the interface of the server."""
