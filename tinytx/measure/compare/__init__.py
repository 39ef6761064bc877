"""Two sides, or many dates. In: bundles or stored reports. Out: differences with their limits."""
