"""What a Traefik rule means: which requests it matches, who wins, what two rules have in common. Pure."""
