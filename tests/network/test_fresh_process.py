"""A web server that has just started, while the home server of somebody who is logged in is down."""

from __future__ import annotations

from tests.helpers.federation import Federation
from tests.helpers.http_browser import HttpBrowser
from tests.helpers.published import put_resource
from tests.helpers.web_servers import Waitress, web_settings
from tests.network.conftest import FederationFactory

HOME, OTHER, HERE = "msul1", "msul2", "msua1"
PROBLEM = "msu/smith/light.problem"
LIGHT = b"""<problem><startouttext />How fast is light in vacuum?<endouttext />
<numericalresponse answer="299792458" unit="m/s"><responseparam type="tolerance" default="1%" /></numericalresponse>
</problem>"""


def test_an_answer_reaches_the_home_server_when_it_is_back(federation: FederationFactory) -> None:
    fed: Federation = federation([HOME, OTHER, HERE], start=[])
    here, home = fed.hosts[HERE], fed.hosts[HOME]
    here.write_conf(**web_settings(here))
    put_resource(here.directory / "html" / "res", PROBLEM, LIGHT)
    fed.start()
    net = here.lonnet()
    net.user("jones", "msu").create("internal", "secret", host=HOME)
    server = Waitress(here)
    try:
        server.start()
        browser = HttpBrowser(server.base)
        assert browser.log_in("jones", "secret").status == 303
        home.stop()
        here.wait_for_no_link(HOME)
        server.stop()
        server.start()
        answer = browser.submit(f"/res/{PROBLEM}", {"answer": "3e8"})
    finally:
        server.stop()
    assert answer.status == 200 and "Right." in answer.text and "will arrive there by itself" in answer.text
    home.start()
    here.wait_for_link(HOME)
    [version] = net.user("jones", "msu").restore("problems", PROBLEM).versions
    assert version.values["answer"] == "3e8"
