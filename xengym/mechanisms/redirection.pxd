"""How a domain that changes its address stays reachable: a tunnel for old connections, the name for new ones.

Just before the pause a tunnel from the old address to the new place is set up; after the start the name is made to point to the
new address (dynamic DNS). A connection keeps the address that it was opened to, so old ones go through the tunnel, which
makes each exchange longer, until they end; new ones go to the address that the name has, as the client's resolver knows it: an
answer may be kept for its time to live. The tunnel goes when the last connection to the old address has ended and no
resolver can know the old address any more; with a time to live of 0 that is the rule of Bradford et al., VEE 2007, section
3.3: when no old connection remains. Inside a subnet the address moves along and none of this is needed.

Clients depend on one another only through the domain, so each one's time passes by itself, many exchanges at once. While
the domain stands still nothing is answered: an exchange takes so much longer, an attempt to connect is repeated until it
is answered, and a connection that hears nothing for `timeout_ns` is given up.
"""
from libc.stdint cimport int64_t
from xengym.machine.wide_area_state cimport (
    AT_NEW, AT_OLD, CLIENT_CONNECTED, CLIENT_THINKS, Client, Redirection,
)
from xengym.sim.random cimport draw_unit, exact_log, stream_key

cdef inline int64_t draw_exponential(Redirection* r, Client* c, int i, double mean) noexcept nogil:
    return <int64_t>(-exact_log(draw_unit(r.key + <unsigned long long>i * <unsigned long long>0xD1342543DE82EF95, &c.draws)) * mean)

cdef inline void think(Redirection* r, Client* c, int i, int64_t at_ns) noexcept nogil:
    c.state = CLIENT_THINKS
    c.is_tunnelled = 0
    c.next_ns = at_ns + 1 + draw_exponential(r, c, i, r.think_ns)

cdef inline int64_t exchange_time_ns(const Redirection* r, const Client* c) noexcept nogil:
    return r.exchange_ns + (r.extra_ns if c.is_tunnelled else 0)

cdef inline void look_up(Redirection* r, Client* c, int64_t at_ns) noexcept nogil:
    """The name's address, as this client's resolver knows it."""
    if at_ns >= c.cached_until_ns:
        c.cached_address = AT_NEW if 0 <= r.name_updated_at_ns <= at_ns else AT_OLD
        c.cached_until_ns = at_ns + r.ttl_ns

cdef inline void connect(Redirection* r, Client* c, int i, int64_t at_ns) noexcept nogil:
    cdef bint has_moved = 0 <= r.moved_at_ns <= at_ns and not r.keeps_address
    look_up(r, c, at_ns)
    c.address = c.cached_address
    c.is_tunnelled = has_moved and c.address == AT_OLD
    if r.is_gone or (c.is_tunnelled and not r.is_tunnel_up):
        # Nobody is there: asked again when the resolver may have a better answer, and not at once.
        r.refused += 1
        c.is_tunnelled = 0
        c.next_ns = max(c.cached_until_ns, at_ns + 1_000_000_000)
        return
    r.opened += 1
    if has_moved:
        if c.address == AT_NEW:
            r.opened_new += 1
        else:
            r.opened_stale += 1
    c.state = CLIENT_CONNECTED
    c.exchanges_left = 1 + draw_exponential(r, c, i, r.exchanges - 1.0)
    c.next_ns = at_ns + exchange_time_ns(r, c)

cdef inline void client_run(Redirection* r, Client* c, int i, int64_t to_ns) noexcept nogil:
    """Everything of one client up to and including `to_ns`; nothing else changes until then."""
    cdef int64_t each_ns, done
    while c.next_ns <= to_ns:
        if c.state == CLIENT_THINKS:
            connect(r, c, i, c.next_ns)
            continue
        each_ns = exchange_time_ns(r, c)
        done = min(c.exchanges_left, 1 + (to_ns - c.next_ns) // each_ns)
        c.exchanges_left -= done
        r.done_exchanges += done
        if c.exchanges_left > 0:
            c.next_ns += done * each_ns
            continue
        c.next_ns += (done - 1) * each_ns
        r.ended += 1
        if c.address == AT_OLD and c.next_ns > r.last_old_end_ns:
            r.last_old_end_ns = c.next_ns
        think(r, c, i, c.next_ns)

cdef inline int old_connections(const Redirection* r, const Client* clients) noexcept nogil:
    """Open connections to the old address."""
    cdef int i, count = 0
    for i in range(r.num_clients):
        count += clients[i].state == CLIENT_CONNECTED and clients[i].address == AT_OLD
    return count

cdef inline int open_connections(const Redirection* r, const Client* clients) noexcept nogil:
    cdef int i, count = 0
    for i in range(r.num_clients):
        count += clients[i].state == CLIENT_CONNECTED
    return count

cdef inline void clients_run(Redirection* r, Client* clients, int64_t to_ns) noexcept nogil:
    """Time passes up to and including `to_ns`. While the domain stands still, clients wait for its return."""
    cdef int i
    cdef int64_t free_ns
    if r.is_paused:
        return
    for i in range(r.num_clients):
        client_run(r, &clients[i], i, to_ns)
    if r.is_tunnel_up and r.moved_at_ns >= 0 and r.name_updated_at_ns >= 0:
        free_ns = max(r.name_updated_at_ns + r.ttl_ns, r.last_old_end_ns)
        if to_ns >= free_ns and old_connections(r, clients) == 0:
            r.is_tunnel_up = 0
            r.tunnel_down_at_ns = free_ns

cdef inline void lose(Redirection* r, Client* c, int i, int64_t at_ns) noexcept nogil:
    r.lost += 1
    think(r, c, i, at_ns)

cdef inline void clients_pause(Redirection* r, Client* clients, int64_t at_ns) noexcept nogil:
    clients_run(r, clients, at_ns)
    r.is_paused = 1
    r.paused_at_ns = at_ns

cdef inline void clients_resume(Redirection* r, Client* clients, int64_t at_ns, bint has_moved) noexcept nogil:
    """It answers again, where it was or at its new place."""
    cdef int i
    cdef int64_t pause_ns = at_ns - r.paused_at_ns
    cdef Client* c
    r.is_paused = 0
    if has_moved:
        r.moved_at_ns = at_ns
        if not r.keeps_address:
            r.name_updated_at_ns = at_ns + r.dns_ns
    for i in range(r.num_clients):
        c = &clients[i]
        if c.state == CLIENT_THINKS:
            if c.next_ns < at_ns:
                c.next_ns = at_ns
        elif pause_ns > r.timeout_ns or (has_moved and not r.keeps_address and not r.is_tunnel_up):
            lose(r, c, i, at_ns)
        else:
            c.next_ns += pause_ns
            if has_moved and not r.keeps_address:
                c.is_tunnelled = 1
                r.tunnelled += 1
                c.next_ns += r.extra_ns

cdef inline void tunnel_up(Redirection* r, int64_t at_ns) noexcept nogil:
    if r.has_tunnel and not r.keeps_address and not r.is_tunnel_up:
        r.is_tunnel_up = 1
        r.tunnel_up_at_ns = at_ns

cdef inline void tunnel_cut(Redirection* r, Client* clients, int64_t at_ns) noexcept nogil:
    """It is taken down, or its end at the old place has died; connections in it are lost."""
    cdef int i
    if not r.is_tunnel_up:
        return
    clients_run(r, clients, at_ns)
    for i in range(r.num_clients):
        if clients[i].state == CLIENT_CONNECTED and clients[i].is_tunnelled:
            lose(r, &clients[i], i, at_ns)
    if r.is_tunnel_up:
        r.is_tunnel_up = 0
        r.tunnel_down_at_ns = at_ns

cdef inline void clients_bereft(Redirection* r, Client* clients, int64_t at_ns) noexcept nogil:
    """The host that the domain was on has died."""
    cdef int i
    clients_run(r, clients, at_ns)
    r.is_paused = 0
    r.is_gone = 1
    for i in range(r.num_clients):
        if clients[i].state == CLIENT_CONNECTED:
            lose(r, &clients[i], i, at_ns)
        elif clients[i].next_ns < at_ns:
            clients[i].next_ns = at_ns
