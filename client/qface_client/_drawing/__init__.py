"""Where captions and the legend of a drawing go, and what they say."""
