"""From orders and capacity to backlog, fill rate and the first passage into saturation."""
