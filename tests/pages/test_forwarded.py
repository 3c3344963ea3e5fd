"""What is sent to the browser when a part of a page is run again before it was all sent."""

from __future__ import annotations

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_cache import create_reference_msg, populate_hash_if_needed
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

from pages._parts import messages

PART = "a part that runs alone"


def message(*path: int, body: str = "", part: str = PART) -> ForwardMsg:
    """A block at a path, or an element with a text in it."""
    one = ForwardMsg()
    one.metadata.delta_path.extend(path)
    one.delta.fragment_id = part
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
    clear = getattr(ForwardMsgQueue.clear, "__wrapped__", ForwardMsgQueue.clear)
    clear(queue, retain_lifecycle_msgs=True, fragment_ids_this_run=[PART])
    return queue.flush()


def has_a_place(sent: list[ForwardMsg]) -> bool:
    """Whether each message finds its place in the browser: one of its parent's, or the next."""
    children: dict[tuple[int, ...], int] = {}
    for one in sent:
        *parent, at = one.metadata.delta_path
        known = children.setdefault(tuple(parent), 0)
        if at > known:
            return False
        children[tuple(parent)] = max(known, at + 1)
    return True


def test_a_part_that_runs_again_takes_no_place_from_what_was_drawn_behind_it() -> None:
    page = [message(0, i, part=PART if i in (3, 4) else "") for i in range(6)]
    assert has_a_place(page)
    assert not has_a_place(left_of(*page))  # why it is mended
    messages.install()
    queue = ForwardMsgQueue()
    for each in page:
        queue.enqueue(each)
    queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=[PART])
    for again in (message(0, 3), message(0, 3, 0, body="new"), message(0, 4)):
        queue.enqueue(again)
    sent = queue.flush()
    assert len(sent) == 9 and has_a_place(sent)
    assert sent[-2].delta.new_element.markdown.body == "new" and not queue.flush()


def test_a_whole_page_that_runs_again_takes_its_older_self_out() -> None:
    messages.install()
    queue = ForwardMsgQueue()
    queue.enqueue(message(0, 0, part=""))
    queue.clear(retain_lifecycle_msgs=True)
    assert not queue.flush()


def test_no_element_is_sent_by_reference_for_it_would_outlive_its_block() -> None:
    block, large = message(0, 3), message(0, 3, 0, body="a" * 2_000_000)
    assert not left_of(block, large)
    assert left_of(block, create_reference_msg(large))  # why the setting is there
    assert not large.metadata.cacheable
