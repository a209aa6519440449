"""`make doctor`: whether a host can run the service, a sentence for each thing that was looked at."""
