"""What the page needs to run the network in a browser, as files beside it."""
