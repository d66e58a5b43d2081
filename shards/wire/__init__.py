"""The only place that speaks the Model Context Protocol: one front for clients, one link to each shard elsewhere."""
