"""Further front processes behind one port, with the main process as the authority of all."""
