"""The server of docs/tracking-server.md: PostgreSQL, S3 and accounts."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.servers import free_port, running

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
ADMIN = ("admin", "a long enough password")
MEMBER = ("ada", "another long password")  # may create experiments and edit her own ones


@dataclass(frozen=True)
class Team:
    """The server's address, and the account of a member."""

    uri: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a member of the team sets."""
        return {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_TRACKING_USERNAME": MEMBER[0],
            "MLFLOW_TRACKING_PASSWORD": MEMBER[1],
        }


def initdb() -> Path | None:
    """PostgreSQL's program, which Debian does not put on the path; None if it is missing."""
    found = shutil.which("initdb") or [*Path("/usr/lib/postgresql").glob("*/bin/initdb")][-1:]
    return Path(*[found] if isinstance(found, str) else found).resolve() if found else None


@contextlib.contextmanager
def postgresql(log: Path) -> Iterator[str]:
    """Run a new cluster on a free port, as the user nobody if this one is root; yields its URI."""
    binary, port = initdb().parent, free_port()
    folder = Path(tempfile.mkdtemp(prefix="census-postgresql-", dir="/tmp"))
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    try:
        subprocess.run(
            [binary / "initdb", "-D", folder / "data", "-U", "mlflow", "--auth=trust", "--no-sync"],
            check=True, capture_output=True, user=user, cwd=folder,
        )  # fmt: skip
        command = [
            binary / "postgres", "-D", folder / "data", "-p", port, "-k", folder,
            "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
        ]  # fmt: skip
        with running([str(argument) for argument in command], port, log, user=user):
            yield f"postgresql://mlflow@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def s3(log: Path) -> Iterator[str]:
    """Run an S3 server with the bucket `mlflow`; yields its address."""
    import boto3

    port = free_port()
    with running(["moto_server", "-H", "127.0.0.1", "-p", str(port)], port, log):
        address = f"http://127.0.0.1:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        client.create_bucket(Bucket="mlflow")
        yield address


@contextlib.contextmanager
def server(folder: Path, *options: str, host: str = "127.0.0.1") -> Iterator[Team]:
    """Run the tracking server on PostgreSQL and S3, with the account of a member."""
    port = free_port()
    with postgresql(folder / "postgresql.log") as database, s3(folder / "s3.log") as store:
        (folder / "auth.ini").write_text(
            "[mlflow]\n"
            "default_permission = READ\n"
            f"database_uri = {database}\n"
            f"admin_username = {ADMIN[0]}\n"
            f"admin_password = {ADMIN[1]}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        command = [
            "mlflow", "server", "--app-name", "basic-auth", "--host", host, "--port", str(port),
            "--workers", "1", "--backend-store-uri", database,
            "--artifacts-destination", "s3://mlflow", *options,
        ]  # fmt: skip
        environment = os.environ | KEYS | {
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "only for tests",
            "MLFLOW_S3_ENDPOINT_URL": store,
        }  # fmt: skip
        log = folder / "server.log"
        with running(command, port, log, "/health", host=host, env=environment):
            team = Team(f"http://{host}:{port}")
            requests.post(
                f"{team.uri}/api/2.0/mlflow/users/create",
                json=dict(zip(("username", "password"), MEMBER, strict=True)),
                auth=ADMIN,
                timeout=30,
            ).raise_for_status()
            yield team
