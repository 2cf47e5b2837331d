"""python -m jaxgen_serve.dashboard: Streamlit, without its request to an outside host for this machine's address."""

from streamlit import net_util
from streamlit.web.cli import main

if __name__ == "__main__":
    # Streamlit would compare the address with the origin of each foreign page, and block all requests while it waits.
    net_util.get_external_ip = lambda: None
    main(prog_name="streamlit")
