using System.Text;
using Microsoft.AspNetCore.SignalR;

namespace Benchmarks.Groups;

/// <summary>The SignalR variant of <see cref="Receiver"/>: joins the group, and sends the greeting.</summary>
internal sealed class ReceiverHub : Hub
{
    public const string Method = "m";

    public override async Task OnConnectedAsync()
    {
        await Groups.AddToGroupAsync(Context.ConnectionId, Receiver.Group);
        await Clients.Caller.SendAsync(Method, Encoding.ASCII.GetString(Receiver.Greeting[..^1]));
    }
}
