"""The drawing kit of every figure: theme, charts, pictures and pages; Plotly and PNG."""
