"""The comparison: cached features, batched heads, metrics, intervals, verdict, report."""
