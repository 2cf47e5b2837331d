"""What every request passes through: security headers, limits, request metrics."""
