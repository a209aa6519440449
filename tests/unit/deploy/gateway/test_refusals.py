"""What a client gets in place of an answer."""

import grpc

from deploy.gateway.refusals import of_model


def test_a_models_error_is_passed_on_without_the_servers_paths() -> None:
    details = (
        "Failed to process the request(s) for model 'crops_0_0', message: ValueError: no crop is good enough"
        "\n\nAt:\n  /srv/repository/models/crops/1/model.py(7): execute\n"
    )
    refusal = of_model(grpc.StatusCode.INTERNAL, details)
    assert refusal.sentence.endswith("ValueError: no crop is good enough")
    assert "/srv" not in refusal.sentence
    assert of_model(grpc.StatusCode.INVALID_ARGUMENT, "row 2 is no picture").sentence == "row 2 is no picture"


def test_a_model_that_can_not_answer_now_is_tried_again() -> None:
    refusal = of_model(grpc.StatusCode.UNAVAILABLE, "face_engine has no memory left for this request")
    assert refusal.retry_after is not None
    assert of_model(grpc.StatusCode.INTERNAL, "photo_analysis failed on this request").retry_after is None
