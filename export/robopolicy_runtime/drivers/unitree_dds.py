"""The two topics of a Unitree robot over CycloneDDS: states come in, orders go out."""

import socket
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import quoteattr

from robopolicy_runtime.driver import DriverError
from robopolicy_runtime.drivers.unitree_messages import Message

COMMAND_TOPIC = "rt/lowcmd"
STATE_TOPIC = "rt/lowstate"
MARK = b"robopolicy"  # how one runtime knows another that has not given an order yet
DEPTH = 8


class Link:
    """A place in a DDS domain from which one robot is heard and can be told something.

    Raises:
        DriverError: CycloneDDS is missing, there is no such network interface, or the domain cannot be joined.
    """

    def __init__(
        self,
        command: Message,
        state: Message,
        interface: str,
        peer: str | None,
        domain: int,
        on_state: Callable[[bytes], None],
    ) -> None:
        """Join; nothing is sent but who we are.

        Args:
            command, state: The robot's messages.
            interface: Network interface, as in ``ip link``.
            peer: Address of the robot where it is not found by multicast.
            domain: DDS domain.
            on_state: Called with every encoded state, in a thread of CycloneDDS.
        """
        try:
            from cyclonedds.builtin import BuiltinDataReader, BuiltinTopicDcpsPublication
            from cyclonedds.core import DDSException, Listener
            from cyclonedds.domain import Domain, DomainParticipant
            from cyclonedds.pub import DataWriter
            from cyclonedds.qos import Policy, Qos
            from cyclonedds.sub import DataReader
            from cyclonedds.topic import Topic
        except ImportError as error:
            raise DriverError(
                f"a Unitree robot needs CycloneDDS: pip install 'robopolicy-runtime[unitree]' ({error})"
            ) from None
        interfaces = [name for _, name in socket.if_nameindex()]
        if interface not in interfaces:
            raise DriverError(f"no network interface {interface!r}; this machine has: {', '.join(interfaces)}")

        self._error = DDSException
        self._mark = Policy.Userdata(MARK)
        self._frame = command.dds_type()
        self._on_state = on_state
        self._senders: list[int] = []  # in the order in which they were first heard
        self._foreign_orders = False
        self._domain: Any = None
        self._participant: Any = None
        self._endpoints: Any = None
        self._orders: Any = None
        self._writer: Any = None
        self._states: Any = None
        newest = (Policy.Reliability.BestEffort, Policy.History.KeepLast(DEPTH))
        # Reliable, as robots may ask for it; never waiting, as an order that is late is replaced by the next.
        order = (Policy.Reliability.Reliable(0), Policy.History.KeepLast(1))
        try:
            # The domain keeps its settings to itself: another program's environment cannot change them.
            self._domain = Domain(domain, _settings(interface, peer))
            self._participant = DomainParticipant(domain)
            commands = Topic(self._participant, COMMAND_TOPIC, self._frame)
            states = Topic(self._participant, STATE_TOPIC, state.dds_type())
            self._endpoints = BuiltinDataReader(self._participant, BuiltinTopicDcpsPublication)
            others = Qos(*newest, Policy.IgnoreLocal.Participant)
            self._orders = DataReader(self._participant, commands, others, Listener(on_data_available=self._note))
            self._writer = DataWriter(self._participant, commands, Qos(*order, self._mark))
            self._states = DataReader(self._participant, states, Qos(*newest), Listener(on_data_available=self._take))
        except DDSException as error:
            self.close()
            raise DriverError(
                f"DDS domain {domain} cannot be joined on {interface!r}; each robot of a process needs a domain "
                f"of its own ({error})"
            ) from None

    def _take(self, reader: Any) -> None:
        for sample in _news(reader):
            sender = sample.sample_info.publication_handle
            if sender not in self._senders:
                self._senders.append(sender)
            if sender == self._senders[0]:  # that is the robot
                self._on_state(sample.payload)

    def _note(self, reader: Any) -> None:
        if _news(reader):
            self._foreign_orders = True

    def intruder(self) -> str:
        """Who was heard on the topics besides this program and one robot, in words, since the link is there; empty if
        nobody was. Costs nothing: listeners have noted it.
        """
        if self._foreign_orders:
            who = "another program, or its own motion service, sends orders"
            return f"somebody else drives the robot: {who} on {COMMAND_TOPIC}"
        if len(self._senders) > 1:
            return f"{len(self._senders)} robots send states on {STATE_TOPIC}; an order would reach all of them"
        return ""

    def send(self, payload: bytes) -> None:
        """Give an encoded order, without waiting.

        Raises:
            DriverError: CycloneDDS refuses it.
        """
        frame = self._frame()
        frame.payload = payload
        try:
            self._writer.write(frame)
        except self._error as error:
            raise DriverError(f"the order could not be written to {COMMAND_TOPIC}: {error}") from None

    def other_runtime(self) -> bool:
        """Whether another robopolicy runtime is connected, though it may not have given an order yet.

        A foreign writer that is silent is none: robots keep one of their own while their motion service is off.
        """
        ours = self._participant.guid
        return any(
            e.topic_name == COMMAND_TOPIC and e.participant_key != ours and self._mark in e.qos
            for e in self._publications()
        )

    def state_types(self) -> list[str]:
        """The types of the states that somebody offers, as in ``unitree_go::msg::dds_::LowState_``."""
        return sorted({e.type_name for e in self._publications() if e.topic_name == STATE_TOPIC})

    def _publications(self) -> list[Any]:
        return [e for e in self._endpoints.read(1000) if e.topic_name]

    def close(self) -> None:
        """Leave. Safe to call twice."""
        # Each entity goes when the last name for it does, the domain last: then the process can join it again.
        self._states = self._writer = self._orders = self._endpoints = self._participant = self._domain = None


def _news(reader: Any) -> list[Any]:
    """The samples that have come; none yet from a reader (None) that is only being made: they wait for the next one."""
    return [] if reader is None else [sample for sample in reader.take(DEPTH) if sample.sample_info.valid_data]


def _settings(interface: str, peer: str | None) -> str:
    """CycloneDDS' settings in XML: one interface; without multicast on loopback, and to a robot with an address."""
    if interface == "lo":
        peer = peer or "127.0.0.1"
    search = ""
    if peer:
        search = (
            "<Discovery><ParticipantIndex>auto</ParticipantIndex>"
            f"<Peers><Peer Address={quoteattr(peer)}/></Peers></Discovery>"
        )
    multicast = "<AllowMulticast>false</AllowMulticast>" if peer else ""
    return (
        '<CycloneDDS><Domain Id="any"><General>'
        f"<Interfaces><NetworkInterface name={quoteattr(interface)}/></Interfaces>{multicast}"
        f"</General>{search}</Domain></CycloneDDS>"
    )
