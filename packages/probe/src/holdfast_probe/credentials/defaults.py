"""Passwords that vendors ship and that everybody knows: they are in botnets' source and in public manuals.

1. `NOTORIOUS` is what is always tried: the Mirai family's list and the defaults of well-known boards.
2. `PUBLISHED` is tried as well where a guess is cheap.
3. A password stands here only because it is public; naming it in a finding gives nothing away.
"""

from __future__ import annotations

NOTORIOUS = (
    "admin", "root", "password", "1234", "12345", "123456", "default", "toor", "pass", "user", "support", "guest",
    "service", "system", "changeme", "xc3511", "vizxv", "888888", "666666", "54321", "juantech", "anko", "7ujMko0admin",
    "7ujMko0vizxv", "Zte521", "hi3518", "jvbzd", "klv123", "klv1234", "ikwb", "dreambox", "realtek", "xmhdipc",
    "admin1234", "smcadmin", "meinsm", "ubnt", "raspberry", "openwrt", "alpine", "oelinux123", "tech", "cisco",
)  # fmt: skip

PUBLISHED = tuple(
    """
    00000000 000000 0000 1111 11111 111111 11111111 1111111 1234567 12345678 123456789 1234567890 123123 123321 1234qwer
    123qwe 1q2w3e 1q2w3e4r 2222 22222 4321 654321 4567 5555 7654321 8888 88888888 9999 999999 987654321 121212 112233
    147258 159753 20080826 a1b2c3 abc123 abcd1234 abcdef access acer adm admin1 admin12 admin123 admin12345 admin123456
    admin!@# Admin Admin123 Admin1234 admin@123 Admin@123 administrator adminadmin adminpass adminttd adm1n advance
    aironet airlive ajax alien amigosw1 ampex antslq apc asante ascend asd asdf asdfgh asterisk atc123 attack avaya
    axis axis2 b1uRR3 backdoor barricade basisk bintec bluecoat broadband busybox calvin camera cctv cat1029 cameras
    changeme2 changeme123 CenturyL1nk centrex cgadmin cgnadmin charge checkfs checksys cisco123 client cms500 comcast
    comcomcom command conexant connect console control corecess cpe1704tks crftpw davox dbps debian demo dev device
    dhs3mt dhs3pms diag digitel director D-Link dlink dlink123 dnnadmin draadmin DreamBox driver dvr dvr2580222
    e8ehome e8telnet eLaStIc embedded engineer enter epicrouter evo extreme exabyte factory fidel123 fiberhome field
    firetide fireport fliradmin forgot friend ftp fuckyou gateway ghost3 gforge ggdaseuaimhrke giraff grouter guest1
    GM8182 GMB182 hadoop hagpolm1 hello help highspeed hikvision hikadmin hg2x0 hslwificam h3capadmin HuaweiUser
    huawei huawei123 HuaweiHomeGateway huigu309 hunt5759 IBM iDirect icatch99 ikwd imx6 infoblox inads initpass install
    installer intermec internet iot ipcam ipcam_rt5350 ipcam6201 ISPMODE isadmin jannie jauntech jffs2 juniper123 jvc
    kermit key klv1243 kn1TG7psLu l2 l3 leaves letacla letmein linksys linux linuxshell live local login logitech lp
    m m1122 manage manager maintain maint maintpw master medion merlin merlot mg3500 microbusiness microsoft mlusr
    mono monitor motorola mother mpegvideo multi mysql n0d3c netadmin netbotz netgear netgear1 netlink netman netopia
    netscreen NetCache NetICs nms nokia nmspw NULL novatek oem ocs openelec openhabian operator operator1 orion99 osmc
    osboxes osteam P@ssw0rd p@ssw0rd P@ssword pa55w0rd passw0rd Passw0rd PASSWORD Password password1 password123 patrol
    permit pfsense pi pico pldtadmin plc poky postgres private public pwp qwerty qwerty123 qwert1234 quest rbf1 recovery
    recorder remote replicator reolink reset rmnetlm ro rootme rootpass root123 root1234 root12345 root621 rootroot
    router roosting rpitc rw samsung samba S2fGqNFs scada scmchangeme secret secure security semaphore senao sensor
    server setup sex siemens simple sky sldkj754 smallbusiness snmp solokey SpIp speedxess ssl star static stingray
    stuccoadmin su super superuser superadmin supervisor support123 surt svgodie switch symbol sync sysadm sysadmin
    sys system1 t0talc0ntr0l4! taZz@23495859 tasmota telco telecom telecomadmin telnet telnetadmin temp temp1 test
    test123 test1234 testing tini tivonpw toor123 topsecret toshy99 tp-link tplink tslinux tsunami turris ttnet
    twonky uClinux uplink user1 user123 user1234 utstar valentine vagrant van vertex25 video visor vodafone volition
    vyos w w2402 wago warmWLspot web webadmin welc0me welcome welcome1 wemo win1dows winsock winterm wlsedb wlsepassword
    wrgg15_di524 wrgg19_c_dlwbr_dir300 wyse x-admin Xerox xampp xad$l#12 xad#12 xdfk9874t3 xmhd xmhdpic xpeed xyzzy
    yellow zabbix zhone zhongxing zigbee zlxx. zoomadsl zte zte9x15 zxcvbn zyxel ZXDSL ZmqVfoSIP zyad1234 zyad5001
    """.split()  # noqa: SIM905  (a list of this length is easier to read, and to add to, as words)
)

KNOWN = frozenset((*NOTORIOUS, *PUBLISHED))
