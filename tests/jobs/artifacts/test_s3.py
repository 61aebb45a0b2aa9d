"""What goes wrong with a bucket, on a real MinIO: a clear error or recovery, nothing wrong accepted, nothing committed lost."""

import os
import random
import signal
import subprocess
import sys
import threading
import uuid
from datetime import timedelta

import minio.time
import pytest

from dto_jobs.artifacts import s3, s3_connection
from dto_jobs.artifacts.addresses import open_store
from dto_jobs.artifacts.artifact import Artifact, Receipt
from dto_jobs.artifacts.lease import Lease
from dto_jobs.artifacts.s3 import STEP, S3Store
from dto_jobs.core.cost import Spend
from dto_jobs.core.records import Problem
from dto_jobs.errors import RunConflictError, StoreError
from dto_jobs.settings import s3_from_environment

pytestmark = pytest.mark.services

MEBIBYTE = [random.Random(n).randbytes(1 << 20) for n in range(8)]
LONG = [MEBIBYTE[n % 8] for n in range(3 * (STEP >> 20) + 5)]
"""An object that is sent in four steps."""
PROBLEMS = [Problem(id=str(i), question="q", answer="a") for i in range(20)]


@pytest.fixture
def bucket(s3_keys):
    return s3_keys.bucket()


@pytest.fixture
def store(bucket):
    return open_store(f"s3://{bucket}/prefix")


@pytest.fixture
def tries(monkeypatch):
    """Let a test wait until requests have been sent again so often."""
    seen = threading.Semaphore(0)
    pauses = s3_connection.pauses

    def counted():
        for number, pause in enumerate(pauses()):
            if number:
                seen.release()
            yield pause

    monkeypatch.setattr(s3_connection, "pauses", counted)

    def wait(number):
        for _ in range(number):
            assert seen.acquire(timeout=60)

    return wait


def content(store, name):
    return b"".join(store.read(name))


def everything(store):
    """Each way to use a store, by name."""
    return {
        "write": lambda: store.write("a", [b"x"]),
        "create": lambda: store.create("a", b"x"),
        "read": lambda: content(store, "a"),
        "exists": lambda: store.exists("a"),
        "names": lambda: store.names(""),
        "delete": lambda: store.delete("a"),
        "claim": lambda: store.claim("a").__enter__(),
    }


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_a_wrong_key_is_told_and_not_shown(bucket, monkeypatch, variable):
    monkeypatch.setenv(variable, "hush-hush")
    store = open_store(f"s3://{bucket}/prefix")
    for action in everything(store).values():
        with pytest.raises(StoreError, match=r"does not accept the keys; check \$AWS_ACCESS_KEY_ID") as told:
            action()
        assert "hush-hush" not in str(told.value)


def test_a_missing_bucket_is_named(s3_keys):
    store = open_store("s3://nobody-made-this/prefix")
    for action in everything(store).values():
        with pytest.raises(StoreError, match=f"no bucket 'nobody-made-this' at {s3_keys.endpoint}"):
            action()


def test_a_bucket_that_may_only_be_read_says_which_rights_are_needed(s3_keys, store, monkeypatch):
    store.write("a", [b"there"])
    user, admin = uuid.uuid4().hex[:16], s3_keys.admin()
    admin.user_add(user, "reader-secret")
    may = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::*"]}
    admin.policy_add(user, policy={"Version": "2012-10-17", "Statement": [may]})
    admin.policy_set(user, user=user)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", user)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "reader-secret")
    reader = open_store(store.address)
    assert content(reader, "a") == b"there"
    assert reader.names("") == ["a"]
    for name in ("write", "create", "claim", "delete"):
        with pytest.raises(StoreError, match=r"may not do that|AccessDenied"):
            everything(reader)[name]()
    with pytest.raises(StoreError, match="s3:PutObject"):
        reader.write("b", LONG)
    assert content(store, "a") == b"there"


@pytest.mark.parametrize("chunks", [MEBIBYTE[:2], LONG], ids=["short", "long"])
def test_a_full_quota_keeps_what_was_committed(s3_keys, bucket, store, chunks):
    artifact = Artifact(store, "runs/r/rollout/1")
    part = artifact.write_part(0, PROBLEMS, 20, Spend(), {})
    s3_keys.admin().bucket_quota_set(bucket, 1 << 20)
    with pytest.raises(StoreError, match=f"quota of the bucket '{bucket}' is used up; .* what was committed is kept"):
        store.write("b", chunks)
    assert artifact.parts() == [part]
    artifact.commit(Receipt(stage="s", key="k", code="c", blobs=(part.blob,)))
    assert list(artifact.records(Problem)) == PROBLEMS


def own_store(own_minio, monkeypatch, patience=120):
    monkeypatch.setenv("DTO_S3_ENDPOINT", own_minio.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tester-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tester-secret")
    monkeypatch.setenv("DTO_S3_PATIENCE", str(patience))
    return open_store(f"s3://{own_minio.bucket()}/prefix")


def test_a_server_that_dies_mid_write_and_comes_back_loses_nothing(own_minio, monkeypatch, tries):
    store = own_store(own_minio, monkeypatch)
    store.write("before", [b"committed"])

    def chunks():
        for number, chunk in enumerate(LONG):
            if number == (STEP >> 20) + 2:
                own_minio.kill()
            if number == 2 * (STEP >> 20) + 3:
                tries(6)
                own_minio.start()
            yield chunk

    store.write("big", chunks())
    assert content(store, "big") == b"".join(LONG)
    assert content(store, "before") == b"committed"


def test_a_server_that_stays_away_is_told_and_what_was_committed_is_there_afterwards(own_minio, monkeypatch):
    store = own_store(own_minio, monkeypatch, patience=1)
    artifact = Artifact(store, "runs/r/rollout/1")
    part = artifact.write_part(0, PROBLEMS, 20, Spend(), {})
    own_minio.kill()
    with pytest.raises(StoreError, match=f"{own_minio.endpoint} could not be reached, not even after .* is kept"):
        artifact.write_part(1, PROBLEMS, 20, Spend(), {})
    own_minio.start()
    assert artifact.parts() == [part]
    assert artifact.write_part(1, PROBLEMS, 20, Spend(), {}) == artifact.parts()[1]


def test_an_address_where_nobody_answers_is_told_soon(bucket, monkeypatch):
    monkeypatch.setattr(s3_connection, "FIRST_CONTACT", 0.5)
    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:9 could not be reached"):
        open_store(f"s3://{bucket}", "http://127.0.0.1:9").names("")


@pytest.fixture
def through(proxy, bucket):
    """The store by way of the proxy."""
    return open_store(f"s3://{bucket}/prefix", proxy.endpoint)


def test_an_upload_survives_connections_that_break_in_every_step(store, through, proxy):
    proxy.add("limit_data", stream="upstream", bytes=STEP + (STEP >> 1))
    through.write("big", LONG)
    assert content(store, "big") == b"".join(LONG)


def test_a_read_goes_on_where_the_connection_broke(store, through, proxy):
    store.write("big", LONG)
    proxy.add("limit_data", bytes=10 << 20)
    assert content(through, "big") == b"".join(LONG)


@pytest.mark.parametrize("cut", [100, 400])
def test_an_answer_that_is_cut_in_its_head_is_no_answer(store, bucket, proxy, monkeypatch, cut):
    monkeypatch.setattr(s3_connection, "FIRST_CONTACT", 0.5)
    through = open_store(f"s3://{bucket}/prefix", proxy.endpoint)
    store.write("a", [b"there"])
    proxy.add("limit_data", bytes=cut)
    with pytest.raises(StoreError, match="could not be reached"):
        content(through, "a")


def test_an_object_replaced_while_it_is_read_is_an_error_not_a_mixture(store, through, proxy, monkeypatch):
    store.write("big", LONG)
    proxy.add("limit_data", bytes=10 << 20)

    def replacing():
        yield 0.0
        store.write("big", reversed(LONG))
        yield 0.0

    monkeypatch.setattr(s3, "pauses", replacing)
    with pytest.raises(StoreError, match=r"cannot read big .*: it was replaced meanwhile"):
        list(through.read("big"))


def test_connections_that_are_reset_are_made_anew(store, through, proxy, tries):
    through.write("a", [b"before"])
    proxy.add("reset_peer", timeout=0)

    def mend():
        tries(3)
        proxy.remove("reset_peer")

    mending = threading.Thread(target=mend)
    mending.start()
    assert through.create("b", b"ours"), "an answer that was lost does not make our own object another's"
    through.write("c", LONG)
    mending.join()
    assert content(store, "c") == b"".join(LONG)


def test_an_answer_that_is_lost_does_not_lose_a_creation(store, through, proxy, tries):
    through.write("a", [b"warm"])
    proxy.add("timeout", timeout=100)

    def mend():
        tries(2)
        proxy.remove("timeout")

    mending = threading.Thread(target=mend)
    mending.start()
    assert through.create("b", b"ours")
    mending.join()
    assert content(store, "b") == b"ours"


def test_a_slow_link_is_no_error(store, proxy, bucket, monkeypatch):
    # A step takes longer than the time limit, each block of it less.
    monkeypatch.setattr(s3_connection, "CONNECT", 1.0)
    through = open_store(f"s3://{bucket}/prefix", proxy.endpoint)
    proxy.add("bandwidth", stream="upstream", name="up", rate=5000)
    proxy.add("bandwidth", name="down", rate=10000)
    through.write("big", LONG[:20])
    assert content(through, "big") == content(store, "big") == b"".join(LONG[:20])


@pytest.mark.parametrize(("hours", "words"), [(2, "7,200 s ahead of"), (-1, "3,600 s behind")])
def test_a_wrong_clock_is_told_with_its_error(store, monkeypatch, hours, words):
    right = minio.time.utcnow
    monkeypatch.setattr(minio.time, "utcnow", lambda: right() + timedelta(hours=hours))
    for action in everything(store).values():
        with pytest.raises(StoreError, match=r"the clock here is [0-9,]+ s (ahead|behind)") as told:
            action()
        assert "set the clock right" in str(told.value)
    assert words.split()[2] in str(told.value)


def test_a_write_that_fails_leaves_no_steps_behind(s3_keys, bucket, store):
    def breaking():
        yield from LONG
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.write("a", breaking())
    waiting = s3_keys.client()._execute("GET", bucket, query_params={"uploads": ""}).data
    assert b"<Upload>" not in waiting


# Leases

HOLD = (
    "import sys; from dto_jobs.artifacts.s3 import S3Store; from dto_jobs.errors import RunConflictError\n"
    "from dto_jobs.settings import s3_from_environment\n"
    "store = S3Store(s3_from_environment(), sys.argv[1], lease=float(sys.argv[2]))\n"
    "with store.claim('runs/r'):\n"
    "    print('held', flush=True); sys.stdin.readline()\n"
    "    try: store.write('runs/r/late', [b'x']); print('written', flush=True)\n"
    "    except RunConflictError as error: print(error, flush=True)\n"
)


@pytest.fixture
def holder(bucket):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, bucket, "3"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(os.environ),
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def other(bucket):
    return S3Store(s3_from_environment(), bucket, lease=3)


def test_the_lease_of_a_killed_process_runs_out(bucket, holder):
    holder.kill()
    store = other(bucket)
    with store.claim("runs/r"):
        store.write("runs/r/after", [b"the next one's"])
    assert b"".join(store.read("runs/r/after")) == b"the next one's"


def test_a_process_that_stood_still_learns_that_its_run_was_taken_over(bucket, holder):
    holder.send_signal(signal.SIGSTOP)
    with other(bucket).claim("runs/r"):
        holder.send_signal(signal.SIGCONT)
        renewed = Renewals(bucket)
        renewed.wait_for(1)
        told, _ = holder.communicate("go on\n", timeout=60)
    assert "another took the run over" in told
    assert "late" not in str(other(bucket).names("runs/r/"))


class Renewals:
    """Waits until the lease was renewed, which shows that its holder lives."""

    def __init__(self, bucket):
        self._store = other(bucket)

    def wait_for(self, number):
        seen = {content(self._store, "runs/r/.claim")}
        while len(seen) <= number:
            seen.add(content(self._store, "runs/r/.claim"))


def test_a_holder_that_lives_keeps_its_lease(bucket, holder):
    Renewals(bucket).wait_for(2)
    with pytest.raises(RunConflictError, match=f"pid {holder.pid} on"), other(bucket).claim("runs/r"):
        pass
    told, _ = holder.communicate("go on\n", timeout=60)
    assert told == "written\n"


@pytest.mark.usefixtures("holder")
def test_leases_do_not_ask_the_clock_here(bucket, monkeypatch):
    """A process whose clock is some minutes fast, but not so fast that it is refused, must not take a live run over."""
    right = minio.time.utcnow
    monkeypatch.setattr(minio.time, "utcnow", lambda: right() + timedelta(minutes=10))
    monkeypatch.setattr("time.time", lambda: 4e9)
    with pytest.raises(RunConflictError), other(bucket).claim("runs/r"):
        pass


def test_a_service_without_conditional_writes_is_refused(bucket, monkeypatch):
    honest = Lease._sent
    monkeypatch.setattr(Lease, "_sent", lambda self, _condition, data: honest(self, {}, data))
    with pytest.raises(StoreError, match="overwrites objects in spite of"), other(bucket).claim("runs/r"):
        pass
