"""What every measurement shares: percentiles, histograms, differences, processor time, what it ran on."""
