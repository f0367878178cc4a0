"""Fixtures of the image tests: nothing is built and no daemon starts before a test asks for one."""

from collections.abc import Iterator

import pytest

from tests.cluster.images.build import Images, ensure_images, load
from tests.cluster.images.daemon import docker_daemon
from tests.cluster.images.docker import Docker


@pytest.fixture(scope="session")
def images() -> Images:
    """The images of this checkout."""
    return ensure_images()


@pytest.fixture(scope="session")
def docker(images: Images) -> Iterator[Docker]:
    """A daemon that has the images."""
    with docker_daemon() as found:
        load(found, images)
        yield found
