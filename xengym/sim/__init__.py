"""Time: the event queue, the order of one instant, random streams, trace records."""
