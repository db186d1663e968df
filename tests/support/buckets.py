"""An S3 server of the tests' own, by moto."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx

from tests.support.lanes import needs_module

ENVIRON = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Buckets:
    """Entered: a server with a bucket `house`; `environ` leads programs to it."""

    def __enter__(self) -> Buckets:
        needs_module("moto", "s3")
        needs_module("s3fs", "s3")
        self._serve(0)
        httpx.post(
            f"{self.environ['AWS_ENDPOINT_URL']}/moto-api/reset"
        ).raise_for_status()  # moto's stores are the process's
        self.client.create_bucket(Bucket="house")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def _serve(self, port: int) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        self._server.start()
        self._port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        self._server.stop()

    def start_again(self) -> None:
        """On the same port; what it held is there."""
        self._serve(self._port)

    @property
    def environ(self) -> dict[str, str]:
        return {**ENVIRON, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}"}

    @property
    def client(self) -> Any:
        import boto3

        names = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests", "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=self.environ["AWS_ENDPOINT_URL"], **names)

    def names(self) -> list[str]:
        """The keys of everything in the bucket."""
        return [one["Key"] for one in self.client.list_objects_v2(Bucket="house").get("Contents", [])]
