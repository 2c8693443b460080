using ByteStreams.Connections;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Admission;

/// <summary>Limits the connections of each client. It belongs after the PROXY protocol, so that it sees the real client.</summary>
internal sealed class ClientAdmissionMiddleware(ConnectionDelegate next, AdmissionControl control) : ConnectionMiddleware(next, forwards: true)
{
    protected override Task ServeAsync(ConnectionState connection)
    {
        ConnectionCloseReason refused = control.Enter(connection.Connection, out ConnectionResource? permit);
        return Verdict.ContinueAsync(connection, permit, refused, control.Banner, Next);
    }
}
