"""A form whose headers are no text is a refusal, and not a mistake of the gateway's own."""

import grpc
import pytest

from deploy.gateway.refusals import Refusal
from deploy.gateway.rest.multipart import one_file

FORM = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n\xff\xd8\r\n--b--\r\n'


def test_the_file_of_a_form_is_its_bytes() -> None:
    assert bytes(one_file(FORM, content_type="multipart/form-data; boundary=b")) == b"\xff\xd8"


@pytest.mark.parametrize("boundary", [b"\xa6", b'"\xff"', b"b; charset=\x82"])
def test_a_content_type_that_is_no_utf_8_is_refused(boundary: bytes) -> None:
    """As aiohttp gives it: bytes that are none stand in its text as surrogates."""
    kind = b"multipart/form-data; boundary=" + boundary
    with pytest.raises(Refusal, match="a header is no UTF-8") as caught:
        one_file(FORM, content_type=kind.decode("utf-8", "surrogateescape"))
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
