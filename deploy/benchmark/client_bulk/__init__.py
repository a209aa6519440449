"""Many photos through `analyze_many` while their server is killed and started again."""
