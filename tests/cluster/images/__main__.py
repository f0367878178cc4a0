"""``python -m tests.cluster.images``: builds the images of the tests by hand and says where they are."""

from tests.cluster.images.build import ensure_images

if __name__ == "__main__":
    images = ensure_images()
    for image in (images.operator, images.runner, images.example):
        print(image.ref, image.archive)  # noqa: T201 - the answer
