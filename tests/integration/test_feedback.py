"""SendFeedback and ListRecentQueries on a running stack, over gRPC."""

from __future__ import annotations

from tests.integration.shop import TIMEOUT_S, Shop, eventually, metric, refused
from vitrine.stream.embedded import EmbeddedLog
from vitrine.stream.feedback import Feedback, FeedbackKind, Impression
from vitrine.stream.feedback_codec import decode
from vitrine.v1 import gateway_pb2 as pb
from vitrine.v1.feedback_pb2 import FEEDBACK_KIND_ADD_TO_CART, FEEDBACK_KIND_CLICK
from vitrine.v1.feedback_pb2 import Feedback as FeedbackMessage


def records(shop: Shop, query_id: str) -> list[Feedback | Impression]:
    """What the log holds of an answer."""
    log = EmbeddedLog.open_existing(shop.stack.settings.folder / "stream.sqlite")
    try:
        return [decode(entry.value) for entry in log.feedback() if entry.key == query_id]
    finally:
        log.close()


def test_what_was_shown_and_clicked_meets_in_the_log(shop: Shop) -> None:
    asked = pb.SearchRequest(product_id=shop.products[0].product_id, surface="product-page")
    answer = shop.calls.search.Search(asked, timeout=TIMEOUT_S)
    clicked = FeedbackMessage(
        query_id=answer.query_id,
        product_id=answer.results[2].product_id,
        kind=FEEDBACK_KIND_CLICK,
        surface="product-page",
        rank=3,
    )

    shop.calls.search.SendFeedback(pb.SendFeedbackRequest(feedback=clicked), timeout=TIMEOUT_S)

    eventually(lambda: len(records(shop, answer.query_id)) == 2)
    by_kind = {type(record): record for record in records(shop, answer.query_id)}
    feedback, impression = by_kind[Feedback], by_kind[Impression]
    assert isinstance(feedback, Feedback)
    assert isinstance(impression, Impression)
    assert (feedback.product_id, feedback.kind, feedback.rank) == (clicked.product_id, FeedbackKind.CLICK, 3)
    assert impression.product_ids == tuple(hit.product_id for hit in answer.results)
    assert impression.query_product_ids == (asked.product_id,)


def test_figures_of_a_surface_are_in_the_metrics(shop: Shop) -> None:
    gateway = shop.stack.addresses["gateway"].http
    answer = shop.calls.search.Search(
        pb.SearchRequest(product_id=shop.products[1].product_id, surface="figures"), timeout=TIMEOUT_S
    )
    for kind in (FEEDBACK_KIND_CLICK, FEEDBACK_KIND_ADD_TO_CART):
        done = FeedbackMessage(
            query_id=answer.query_id,
            product_id=answer.results[3].product_id,
            kind=kind,
            surface="figures",
            rank=4,
        )
        shop.calls.search.SendFeedback(pb.SendFeedbackRequest(feedback=done), timeout=TIMEOUT_S)

    assert metric(gateway, "vitrine_gateway_answers_shown_total", surface="figures") == 1
    assert metric(gateway, "vitrine_gateway_click_rank_bucket", surface="figures", le="3.0") == 0
    assert metric(gateway, "vitrine_gateway_click_rank_bucket", surface="figures", le="5.0") == 1
    assert metric(gateway, "vitrine_gateway_feedback_total", surface="figures", kind="add_to_cart") == 1


def test_recommendations_and_looks_are_kept_with_the_products_that_asked(shop: Shop) -> None:
    history = [pb.HistoryItem(product_id=product.product_id) for product in shop.products[:3]]
    recommended = shop.calls.search.Recommend(pb.RecommendRequest(history=history, surface="home"), timeout=TIMEOUT_S)
    look = shop.calls.search.CompleteTheLook(
        pb.CompleteTheLookRequest(product_id=shop.products[4].product_id, surface="look"), timeout=TIMEOUT_S
    )

    eventually(lambda: records(shop, recommended.query_id) and records(shop, look.query_id))
    [of_history], [of_look] = records(shop, recommended.query_id), records(shop, look.query_id)
    assert isinstance(of_history, Impression)
    assert isinstance(of_look, Impression)
    assert set(of_history.query_product_ids) == {item.product_id for item in history}
    assert of_history.product_ids == tuple(result.hit.product_id for result in recommended.results)
    assert (of_look.method, of_look.query_product_ids) == ("CompleteTheLook", (shop.products[4].product_id,))
    assert len(of_look.product_ids) == sum(len(category.results) for category in look.categories)


def test_recent_queries_never_hold_the_picture(shop: Shop) -> None:
    picture = shop.products[5].pictures[0]
    answer = shop.calls.search.Search(pb.SearchRequest(image=picture), timeout=TIMEOUT_S)

    listed = shop.calls.search.ListRecentQueries(pb.ListRecentQueriesRequest(count=200), timeout=TIMEOUT_S)

    [found] = [query for query in listed.queries if query.query_id == answer.query_id]
    assert (found.method, found.kind) == ("Search", "image")
    assert [hit.product_id for hit in found.results] == [hit.product_id for hit in answer.results]
    assert picture[:64] not in listed.SerializeToString()


def test_what_is_wrong_with_feedback_is_named(shop: Shop) -> None:
    good = FeedbackMessage(query_id="0" * 32, product_id="p", kind=FEEDBACK_KIND_CLICK, surface="page", rank=1)
    for field, value in (("query_id", "7"), ("product_id", ""), ("kind", 0), ("surface", "A b"), ("rank", 10_001)):
        wrong = FeedbackMessage()
        wrong.CopyFrom(good)
        setattr(wrong, field, value)
        with refused("INVALID_ARGUMENT", f"feedback.{field}"):
            shop.calls.search.SendFeedback(pb.SendFeedbackRequest(feedback=wrong), timeout=TIMEOUT_S)
