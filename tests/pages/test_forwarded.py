"""What is sent to the browser when a part of a page is run again before it was all sent."""

from __future__ import annotations

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_cache import create_reference_msg, populate_hash_if_needed
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

PART = "a part that runs alone"


def message(*path: int, body: str = "") -> ForwardMsg:
    """A block at a path, or an element with a text in it."""
    one = ForwardMsg()
    one.metadata.delta_path.extend(path)
    one.delta.fragment_id = PART
    if body:
        one.delta.new_element.markdown.body = body
    else:
        one.delta.add_block.SetInParent()
    populate_hash_if_needed(one)
    return one


def left_of(*sent: ForwardMsg) -> list[ForwardMsg]:
    queue = ForwardMsgQueue()
    for each in sent:
        queue.enqueue(each)
    queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=[PART])
    return queue.flush()


def test_no_element_is_sent_by_reference_for_it_would_outlive_its_block() -> None:
    block, large = message(0, 3), message(0, 3, 0, body="a" * 2_000_000)
    assert not left_of(block, large)
    assert left_of(block, create_reference_msg(large))  # why the setting is there
    assert not large.metadata.cacheable
