"""`waypost check`: evidence from any running Traefik in, findings out."""
