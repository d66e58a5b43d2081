"""`waypost doctor`: every part of a deployment, tried as it is."""
