"""What random histories share: three hosts live the same one and must agree to the last bit."""

import pickle

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

US = 1_000
MS = 1_000_000

lengths_ns = st.sampled_from([1, 10 * US, 100 * US, MS, 5 * MS, 30 * MS]) | st.integers(1, 40 * MS)


class ThreeHosts(RuleBasedStateMachine):
    """One host is traced, one is run in many small steps, one comes anew now and then.

    A subclass sets ``make`` (a host as at the beginning), ``hosts`` (three of them) and ``gone_running_ns`` (CPU time
    of vCPUs that are gone), and has ``assert_laws(host, gone_running_ns)``.
    """

    @property
    def host(self):
        return self.hosts[0]

    def answers_of(self, operation):
        """Do the same to each host: what they answer, which must be alike, and whether they refused."""
        answers, refused = [], False
        for host in self.hosts:
            try:
                answers.append(operation(host))
            except ValueError as error:
                answers.append(str(error))
                refused = True
        assert answers.count(answers[0]) == len(answers), f"the hosts answer differently: {answers}"
        return answers[0], refused

    def run_for(self, length_ns, cuts):
        until_ns = self.host.now_ns + length_ns
        self.hosts[0].run_until(until_ns)
        for cut in range(1, cuts):
            self.hosts[1].run_until(until_ns - length_ns + length_ns * cut // cuts)
        self.hosts[1].run_until(until_ns)
        self.hosts[2].run_until(until_ns)
        # The passes of an instant come when time goes on.
        assert length_ns == 0 or not self.host.sections["clock"]["pending"].any(), "a pass was left behind"

    @rule(length_ns=lengths_ns, how=st.sampled_from(["restore", "elsewhere", "pickle"]))
    def come_anew(self, length_ns, how):
        """The third host goes ahead, and comes back."""
        third = self.hosts[2]
        snapshot = third.snapshot()
        if how == "restore":
            third.run_until(third.now_ns + length_ns)
            third.restore(snapshot)
        elif how == "elsewhere":
            self.hosts[2] = self.make()
            self.hosts[2].restore(snapshot)
        else:
            self.hosts[2] = pickle.loads(pickle.dumps(third))
        assert self.hosts[2].snapshot() == snapshot

    @invariant()
    def the_laws_hold(self):
        if hasattr(self, "hosts"):
            self.assert_laws(self.host, self.gone_running_ns)

    @invariant()
    def all_hosts_agree(self):
        if hasattr(self, "hosts"):
            digests = [host.digest() for host in self.hosts]
            assert digests.count(digests[0]) == len(digests), "the same history led to different states"
