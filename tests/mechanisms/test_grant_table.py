"""Grant tables: an entry that is mapped is never freed, a free one is in the list once."""

from hypothesis import given
from hypothesis import strategies as st

from xengym.testing.mechanisms import GrantsAlone

steps = st.lists(
    st.tuples(
        st.sampled_from(["access", "map", "unmap", "copy", "transfer", "end"]), st.integers(-1, 12), st.integers(0, 2)
    ),
    max_size=80,
)


@given(steps)
def test_the_table_is_that_of_a_dict(steps):
    table = GrantsAlone()
    peers, mapped = {}, {}
    refused = maps = copies = transfers = 0
    for step, ref, peer in steps:
        may_use = peers.get(ref) == peer
        if step == "access":
            new = table.access(peer)
            assert new not in peers
            peers[new], mapped[new] = peer, 0
        elif step == "map":
            assert table.map(ref, peer) == may_use
            if may_use:
                mapped[ref] += 1
                maps += 1
        elif step == "unmap":
            if mapped.get(ref, 0) > 0:
                table.unmap(ref)
                mapped[ref] -= 1
        elif step == "copy":
            assert table.copy(ref, peer) == may_use
            copies += may_use
        elif step == "transfer":
            assert table.transfer(ref, peer) == may_use
            transfers += may_use
        else:
            can_end = ref in peers and mapped[ref] == 0
            assert table.end(ref) == can_end
            refused += ref in peers and not can_end
            if can_end:
                del peers[ref], mapped[ref]
        assert table.num_granted == len(peers)
        assert table.refused == refused
        assert table.counts() == (maps, copies, transfers)
        assert all(table.num_mapped(ref) == count for ref, count in mapped.items())
    free = table.free_list()
    assert len(set(free)) == len(free)
    assert set(free) == set(range(table.size)) - peers.keys()


def test_a_full_table_grants_nothing():
    table = GrantsAlone()
    refs = [table.access(1) for _ in range(table.size)]
    assert sorted(refs) == list(range(table.size))
    assert table.access(1) == -1
    assert table.num_granted == table.size
    assert table.end(refs[7])
    assert table.access(2) == refs[7]


def test_nobody_but_its_peer_may_use_a_page():
    table = GrantsAlone()
    ref = table.access(3)
    assert not table.map(ref, 4)
    assert not table.copy(ref, 4)
    assert not table.transfer(ref, 4)
    assert table.counts() == (0, 0, 0)
