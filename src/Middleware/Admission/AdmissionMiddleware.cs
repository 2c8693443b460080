using ByteStreams.Connections;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Admission;

/// <summary>Admits a connection when it gets a permit, which it holds until it has closed.</summary>
internal sealed class AdmissionMiddleware(ConnectionDelegate next, AdmissionControl control) : ConnectionMiddleware(next, forwards: true)
{
    protected override Task ServeAsync(ConnectionState connection)
    {
        // The runner releases permits that were reserved before the PROXY header.
        AdmissionPermits? reserved = AdmissionPermits.Find(connection, control);
        AdmissionPermits permits = reserved ?? new AdmissionPermits(control);
        ValueTask<ConnectionCloseReason> entered = control.EnterAsync(connection.Connection, permits);
        AdmissionPermits? added = reserved is null ? permits : null;
        return entered.IsCompletedSuccessfully ? ContinueAsync(connection, added, entered.Result) : WaitAsync(connection, added, entered);
    }

    private async Task WaitAsync(ConnectionState connection, AdmissionPermits? permits, ValueTask<ConnectionCloseReason> entered) =>
        await ContinueAsync(connection, permits, await entered.ConfigureAwait(false)).ConfigureAwait(false);

    private Task ContinueAsync(ConnectionState connection, AdmissionPermits? permits, ConnectionCloseReason refused)
    {
        ConnectionResource? held = permits is null || refused != ConnectionCloseReason.None ? permits : control.GetResource(connection, permits);
        return Verdict.ContinueAsync(connection, held, refused, control.Banner, Next);
    }
}
