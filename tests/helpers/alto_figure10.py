"""The network of figure 10 of RFC 9275, as a topology. Its three subnetworks have 50 Gbit/s, as section 8.4 says."""

FIGURE_10 = """\
node,NET1,50G,ane-props.ane:MEC1
node,NET2,50G,ane-props.ane:MEC2
node,NET3,50G
link,NET1,NET3,10G     # L1
link,NET3,NET2,15G     # L2
pid,PID1,NET1,192.0.2.0/28
pid,PID2,NET1,192.0.2.16/28
pid,PID3,NET3,192.0.2.32/28,2001:db8:3::/48
pid,PID4,NET2,192.0.2.48/28,2001:db8:4::/48
default-pid,elsewhere
"""
