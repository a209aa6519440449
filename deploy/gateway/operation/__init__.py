"""The processes of a gateway: supervisor, main process, workers, control socket."""
