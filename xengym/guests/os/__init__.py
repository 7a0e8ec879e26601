"""A guest's operating system: interrupts, drivers, protocols and the programs above them, one file for each subject."""
