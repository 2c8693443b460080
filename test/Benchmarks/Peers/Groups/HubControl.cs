using System.Buffers;
using System.Diagnostics;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.SignalR;

namespace Benchmarks.Groups;

/// <summary>The SignalR variant of <see cref="Control"/>.</summary>
internal sealed class HubControl(IHubContext<ReceiverHub> hub) : ConnectionHandler
{
    public override async Task OnConnectedAsync(ConnectionContext connection)
    {
        PipeReader reader = connection.Transport.Input;
        IClientProxy group = hub.Clients.Group(Receiver.Group);
        while (true)
        {
            ReadResult read = await reader.ReadAsync();
            if (read.Buffer.PositionOf((byte)'\n') is SequencePosition end)
            {
                string line = Encoding.ASCII.GetString(read.Buffer.Slice(0, end));
                reader.AdvanceTo(read.Buffer.GetPosition(1, end));
                long begun = Stopwatch.GetTimestamp();
                await group.SendAsync(ReceiverHub.Method, line);
                long result = (long)Stopwatch.GetElapsedTime(begun).TotalNanoseconds;
                await connection.Transport.Output.WriteAsync(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{result}\n")));
                continue;
            }

            if (read.IsCompleted)
            {
                return;
            }

            reader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }
    }
}
