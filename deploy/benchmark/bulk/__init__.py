"""`deploy.bulk` beside loops over a client: photos a second and core-ms a photo."""
