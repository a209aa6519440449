"""The report's plots, as SVG whose text is text and whose colours are the page's."""
