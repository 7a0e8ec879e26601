from xengym.guests.os.netfront import OsNetfront

class OsTransport(OsNetfront):
    max_flows: int
