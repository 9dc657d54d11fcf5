"""Clients over TLS, each on its connection: address, requests, how many at once."""
import http.client
import ssl
import sys
import threading

ADDRESS = sys.argv[1]
REQUESTS, CLIENTS = int(sys.argv[2]), int(sys.argv[3])
CONTEXT = ssl._create_unverified_context()
FAILED = []


def ask(client):
    try:
        connection = http.client.HTTPSConnection(ADDRESS, context=CONTEXT)
        for number in range(REQUESTS // CLIENTS):
            connection.request("GET", "/ok", headers={"X-Request-Id": f"r-{client}-{number}"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
    except Exception as error:
        FAILED.append(error)


clients = [threading.Thread(target=ask, args=(client,)) for client in range(CLIENTS)]
for one in clients:
    one.start()
for one in clients:
    one.join()
sys.exit(str(FAILED) if FAILED else 0)
