"""`xengym/DriverDomain-v0`: how much CPU and traffic each guest may have, driver domains' work for it included."""
