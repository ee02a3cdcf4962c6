"""gw: a gateway for fleets of OpenWrt and OpenLAN devices that speak uCentral."""

__version__ = "0.1.0"
